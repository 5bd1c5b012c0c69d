"""Whether the cells of a study can be packed: their sources and alterations, by the registries."""

from lib.data import perturbations
from lib.data.packed import CLASSES
from lib.data.sources import registry
from lib.study.schema import Altered
from lib.study.study import Study


def check(study: Study) -> None:
    """Raises ParameterError, naming cell, class, key, the value got, and what is allowed."""
    file = f"params/{study.name}.yaml"
    for name, cell in study.cells.items():
        if isinstance(cell, Altered):
            perturbations.check(cell, study.data.image_size, f"{file}: cells.{name}")
        else:
            for label in CLASSES:
                registry.settings(getattr(cell, label), file, ("cells", name, label))
