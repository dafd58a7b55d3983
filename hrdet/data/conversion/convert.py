"""The data sets that can be converted."""

from pathlib import Path

from hrdet.data.conversion.cityscapes import plan_cityscapes
from hrdet.data.conversion.isaid import plan_isaid
from hrdet.data.conversion.isprs import plan_potsdam, plan_vaihingen
from hrdet.data.conversion.loveda import plan_loveda
from hrdet.data.conversion.pascal_context import plan_pascal_context
from hrdet.data.conversion.plan import default_processes, run
from hrdet.data.conversion.voc_aug import plan_voc_aug

# Each takes the download and the data set's folder, and returns a Plan.
CONVERTERS = {
    'cityscapes': plan_cityscapes,
    'voc12aug': plan_voc_aug,
    'pascal_context': plan_pascal_context,
    'loveda': plan_loveda,
    'potsdam': plan_potsdam,
    'vaihingen': plan_vaihingen,
    'isaid': plan_isaid,
}


def convert(name: str, raw: Path, out: Path, processes: int | None = None) -> str:
    """Make the folders of a data set from its download.

    Args:
        name: one of ``CONVERTERS``.
        raw: folder of the download, with the archives as they are or unpacked.
        out: the data set's folder, as ``SEGMENTATION_SOURCES`` lays it out.
        processes: how many work at once; None: one for each core, at most 8.

    Returns:
        What was made, in one line.

    Raises:
        DataError: a file is missing or broken, or would be overwritten; it names the file.
    """
    plan = CONVERTERS[name](raw, out)
    run(plan, name, processes or default_processes())
    return plan.summary
