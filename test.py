"""Synthesize photographs from layouts: `python test.py --help`. The same as `crn test`; see crn_tf/test.py.

python test.py                                            # the newest run, its validation layouts
python test.py --weights runs/NAME --layouts drawing.png  # one's own layout
"""

from crn_tf.errors import run_command
from crn_tf.test import main

if __name__ == "__main__":
    run_command(main)
