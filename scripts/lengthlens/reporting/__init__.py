"""The report: from the files of a run to one HTML page.

`compose` reads a run's files into `material`; `sections` lists what the page shows, and `shown`
picks what this run has of it; `questions` answers the study's questions for the summary and `lead`
makes its picture; `findings` says claims and effects in sentences, `numbers` and `grid` write
numbers for people, `samples` and `tokens` mark answers, `embed` and `slim` put figures into the
page, `public` leaves out what is nobody else's business; `page` renders it.
"""
