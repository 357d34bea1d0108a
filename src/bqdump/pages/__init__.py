"""What people look at, as HTML: the report, and the parts that the console shares with it. Documents in, HTML out.

All markup is made with MarkupSafe's `Markup.format`, which escapes every value that is not markup itself: names,
messages and contents come from outside, and none of them can become markup.
"""
