"""The photograph: camera, light, shadow, drawing, film and what stands behind the head."""
