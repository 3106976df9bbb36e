"""What a reader sees: terminal, page, figures and files, all from one ``Report`` (``results.py``). Decides nothing."""
