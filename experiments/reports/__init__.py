"""Tables, pictures, pages, video."""
