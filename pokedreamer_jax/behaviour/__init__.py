"""How a policy learns in dreams and acts."""
