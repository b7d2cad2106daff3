"""Other questions to the same models: one word a token, further languages, further N."""
