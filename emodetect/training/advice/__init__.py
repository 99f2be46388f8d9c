"""What a run should know beforehand and says afterwards: small data, the fit, what to try next."""
