"""Whether there is any control to explain."""

from lengthlens.analysis.control import measure_control


def tables(generations, forced, bootstrap):
    return {"control": measure_control(generations, forced, bootstrap)}
