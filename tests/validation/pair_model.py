"""A Morse crystal as a model of TorchSim, batched and in double precision; its slopes are torch's."""

import torch
from torch_sim.models.interface import ModelInterface
from torch_sim.neighbors import vesin_nl_ts


class PairModel(ModelInterface):
    """V(r) = ε (1 - exp(-α (r - σ)))² - ε, shifted to 0 at the cutoff: ASE's MorsePotential without its smoothing."""

    def __init__(self, sigma, epsilon, alpha, cutoff, device, dtype):
        super().__init__()
        self._device, self._dtype = device, dtype
        self._compute_forces = self._compute_stress = True
        self.register_buffer("constants", torch.tensor([sigma, epsilon, alpha, cutoff], dtype=dtype, device=device))

    def forward(self, state, **kwargs):
        found = [self._one(state, index) for index in range(state.n_systems)]
        return {
            "energy": torch.stack([one[0] for one in found]),
            "forces": torch.cat([one[1] for one in found]),
            "stress": torch.stack([one[2] for one in found]),
        }

    def _one(self, state, index):
        cutoff = self.constants[3]
        own = state.system_idx == index
        cell = state.row_vector_cell[index]
        places, strain = state.positions[own], torch.zeros(3, 3, dtype=self.dtype, requires_grad=True)
        ends, shifts = vesin_nl_ts(positions=places, cell=cell, pbc=True, cutoff=cutoff, sort_id=False)
        moved = (places.clone().requires_grad_(True), torch.eye(3, dtype=self.dtype) + strain)
        vectors = (moved[0][ends[1]] - moved[0][ends[0]] + shifts @ cell) @ moved[1]
        lengths = vectors.norm(dim=1)
        energy = (self._energy(lengths) - self._energy(cutoff)).sum() / 2
        forces, slope = torch.autograd.grad(energy, [moved[0], strain])
        return energy.detach(), -forces, slope / torch.linalg.det(cell).abs()

    def _energy(self, length):
        sigma, epsilon, alpha, _ = self.constants
        return epsilon * (1 - torch.exp(-alpha * (length - sigma))) ** 2 - epsilon
