"""Whether two regions can be adapted: facts about them, what the facts mean, and a page of both."""
