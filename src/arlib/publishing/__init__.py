"""An edition of the book: chapters executed, pages written, the site built."""
