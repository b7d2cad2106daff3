"""The report: from the files of a run to one HTML page.

`compose` reads a run's files into `material`; `sections` lists what the page shows, and `shown`
picks what this run has of it; `findings` says claims and effects in sentences, `numbers` and `grid`
write numbers for people, `samples` marks answers word by word, `embed` puts figures into the page,
`public` leaves out what is nobody else's business; `page` renders it.
"""
