"""Labels say what was done when: tables, prompts, proposals."""
