"""Enrolment and verified releases."""
