"""The study's figures: one module per figure, each with one public function that draws it.

The functions take labelled data (pandas, xarray) and do not read files. `style` contains sizes,
colours and saving; `registry` contains the list of all figures and explains how to add one.
"""
