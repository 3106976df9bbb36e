"""What a study shows and leaves: tables, reports, archives."""
