"""Recipes: table files described by data; one engine reads CSV, text and workbooks by them."""
