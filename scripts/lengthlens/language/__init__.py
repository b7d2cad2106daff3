"""What is asked, and how words are counted: prompts, languages, words. Knows no model."""
