"""The API's methods: requests, and the answers to them."""
