"""The study's figures: one module a figure, each with one public function from data to a figure.

Functions take labelled data (pandas, xarray) and know no files. `style` holds sizes, colours and
saving. To add a figure: a module here, scripts/draw_<name>.py, a rule in rules/figures.smk, a
caption in rules/captions/, and the name in `targets.FIGURES`.
"""
