"""Which classes a data set has and how its label files write them, as somebody says it: before any file is looked at.

That is a class list of one's own, or a publisher's table; `conventions.decide` compares it with the files.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from crn_tf.data.class_tables import ClassTable, read_class_table
from crn_tf.data.published_tables import CityscapesIds, PublishedTable

USUAL_VOID = 255


@dataclass(frozen=True)
class DeclaredClasses:
    """A class table, and what is known besides.

    Attributes:
        table: The classes.
        source: Who says so, as messages name it: a file, or what else has the table.
        editable: Whether the source is a list that can be mended where it does not fit the files.
        published: The publisher's table, if it is one.
        assumes_void: Whether 255 is void only because that is usual, where a list says nothing of void.
    """

    table: ClassTable
    source: str = "classes.json"
    editable: bool = True
    published: PublishedTable | None = None
    assumes_void: bool = False

    @property
    def ids(self) -> CityscapesIds | None:
        """Which of Cityscapes' ids the label files hold, if it is known."""
        return self.published.ids if self.published else None


def read_declared(path: Path) -> DeclaredClasses:
    """Read the list of classes in a data set's folder.

    Texts have no way to say what is void but by a name: where none is, 255 counts as void, as tools write it. A
    `classes.json` says what it means.

    Raises:
        UserError: As `read_class_table`.
    """
    table = read_class_table(path)
    assumes = path.suffix.lower() != ".json" and table.void_ids == () and USUAL_VOID not in table.ids
    if assumes:
        table = dataclasses.replace(table, void_ids=(USUAL_VOID,))
    return DeclaredClasses(table, str(path), assumes_void=assumes)


def as_published(published: PublishedTable) -> DeclaredClasses:
    """What a publisher says of a data set."""
    return DeclaredClasses(published.table, f"the built-in table of {published.name}", False, published)


def of_model(table: ClassTable) -> DeclaredClasses:
    """What a model says of the layouts that it takes."""
    return DeclaredClasses(table, "the model's class table", editable=False)
