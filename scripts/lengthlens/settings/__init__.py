"""Every configuration key, declared once (`sections`), of types that know what is legal."""
