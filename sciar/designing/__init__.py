"""Design by an objective: structures are drawn and scored, and the model turned to the best."""
