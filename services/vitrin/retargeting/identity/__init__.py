"""Who is who: which visitors, customers, addresses and numbers of a brand are one person, and why."""
