"""What ``python -m sklearn_fairsisa`` runs."""
