"""The report: from the files of a run to one HTML page.

`compose` reads a run's files into `material`. `sections` declares what the page can show, and
`shown` selects what this run has data for. `questions` answers the study's questions for the
summary, and `lead` draws its picture. `findings` puts claims and effects into sentences; `numbers`
and `grid` format numbers for readers; `samples` and `tokens` mark up answers; `embed` and `slim`
put figures into the page; `public` removes private information such as folders; `page` renders
the page.
"""
