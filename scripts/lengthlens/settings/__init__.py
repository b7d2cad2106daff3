"""Every configuration key, declared once (`sections`), of types that say what is legal (`fields`)."""
