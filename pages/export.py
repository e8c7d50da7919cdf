"""Export: the network as files, each loaded back and measured before it can be taken away."""

from ui import frame
from ui.export import export_view

frame.heading(
    "Export",
    "Take the network away. Each file is loaded back as a stranger would load it, and measured, before its download appears.",
)
export_view.export()
