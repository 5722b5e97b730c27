"""The institution's side: pull, adapt, synthesise, co-train, report. Raw spots and synthetic pairs stay here."""
