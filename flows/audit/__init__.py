"""The drift audit: shops drawn at random are recomputed from their raw rows and compared with what is published."""
