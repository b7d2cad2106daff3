"""The study's figures: one module a figure, each with one public function from data to a figure.

Functions take labelled data (pandas, xarray) and know no files. `style` holds sizes, colours and
saving, `registry` the list of all figures and how to add one.
"""
