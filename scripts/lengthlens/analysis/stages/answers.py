"""How well models keep to the word count."""

from lengthlens.analysis.behaviour import summarise_answers


def tables(answers, languages, bootstrap, counting, counted):
    how = {"counting": counting, "counted": counted}
    return {"behaviour": summarise_answers(answers, languages, bootstrap, **how)}
