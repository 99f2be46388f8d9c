"""Writers of labelled images: other layouts, face crops, manifests of splits."""
