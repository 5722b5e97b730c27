"""From what a lab has to a SpotSet, and from a SpotSet to what training needs."""
