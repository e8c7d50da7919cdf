"""What every test shares: one torch thread, as in the app."""

import torch

torch.set_num_threads(1)
