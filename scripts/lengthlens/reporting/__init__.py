"""The report: from the files of a run to one HTML page.

`compose` reads a run's files; `findings` says them in sentences, `numbers` writes numbers for
people, `samples` marks answers word by word, `embed` puts figures into the page; `page` renders it.
"""
