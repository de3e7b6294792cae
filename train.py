"""Train a Cascaded Refinement Network: `python train.py --help`. The same as `crn train`; see crn_tf/train.py.

python train.py --demo                                 # toy scenes, no files needed
python train.py --res 256 --data cityscapes            # the 2017 release's schedule
python train.py --resume                               # go on
"""

from crn_tf.errors import run_command
from crn_tf.train import main

if __name__ == "__main__":
    run_command(main)
