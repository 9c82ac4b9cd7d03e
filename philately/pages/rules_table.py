"""A season's rules in words, each with its limit."""

from philately.models import Season
from validation.rules import RelaxationSettings, Rules, Tolerances

Rows = list[tuple[str, str]]


def rules_in_words(season: Season) -> list[tuple[str, Rows]]:
    """Groups of (what, limit), in the order in which a structure meets them."""
    rules = Rules.from_json(season.rules)
    how = RelaxationSettings(**season.scale.identity["relaxation"])
    return [
        ("Before relaxation", _before(rules)),
        ("Relaxation", _relaxation(rules, how)),
        ("Placement", _placement(rules)),
        ("Points", _points(rules)),
    ]


def _before(rules: Rules) -> Rows:
    return [
        ("Size of the primitive cell", f"at most {rules.max_atoms} atoms of at most {rules.max_elements} elements"),
        ("Text of one structure", f"at most {rules.max_text_bytes / 1e6:g} MB"),
        ("Shape of the cell", f"longest over shortest lattice vector at most {rules.max_aspect_ratio:g}"),
        (
            "Order and elements",
            "every site fully occupied by one element that the judge knows; not accepted: "
            + (", ".join(rules.excluded_elements) or "none"),
        ),
        ("Nearest distance", f"at least {rules.min_distance_ratio:g} × the sum of the covalent radii"),
        ("Volume", f"at least {rules.min_volume_per_atom_ang3:g} Å³/atom"),
        ("Density", f"at most {rules.max_density_g_per_cm3:g} g/cm³"),
        (
            "Bulk",
            f"bonds of at most {rules.bond_length_ang:g} Å{_or_longer(rules)} connect all atoms and run through the "
            "cell in three directions: no molecules, wires or slabs",
        ),
        ("Twin", f"the same initial structure as an earlier one ({_tolerances(rules.twin)}) shares its fate"),
    ]


def _or_longer(rules: Rules) -> str:
    ratio = rules.bond_radii_ratio
    return f", or {ratio:g} × the sum of the covalent radii where that is longer," if ratio else ""


def _relaxation(rules: Rules, how: RelaxationSettings) -> Rows:
    low, high = rules.volume_ratio_range
    return [
        ("Start", f"every atom is displaced by {how.displacement_ang:g} Å, so that no saddle point passes"),
        (
            "Converged",
            f"within {how.max_steps} steps of {how.optimiser}: largest force at most {how.fmax_ev_per_ang:g} eV/Å, "
            f"largest stress at most {how.smax_ev_per_ang3:g} eV/Å³",
        ),
        ("Nearest distance, relaxed", f"at least {rules.min_distance_ratio_relaxed:g} × the sum of the covalent radii"),
        ("Volume, relaxed", f"between {low:g} and {high:g} × the sum of its elements' volumes"),
    ]


def _placement(rules: Rules) -> Rows:
    return [
        (
            "Duplicate",
            f"matches an earlier phase ({_tolerances(rules.duplicate)}) within "
            f"{rules.duplicate_window_ev_per_atom:.3f} eV/atom; the first finder keeps the find",
        ),
        ("Refined", f"a duplicate that is lower by {rules.refine_ev_per_atom:.3f} eV/atom lowers the phase's energy"),
        ("Formation energy", f"at most {rules.max_formation_energy_ev_per_atom:g} eV/atom against the release"),
        (
            "Predicted stable",
            f"on arrival at most {rules.stable_on_arrival_ev_per_atom:g} eV/atom from the hull: it lowers the hull",
        ),
        ("Predicted metastable", f"on arrival at most {rules.metastable_ev_per_atom:g} eV/atom above the hull"),
        (
            "Held for an organiser",
            f"below an element's reference by more than {rules.held_below_reference_ev_per_atom:g} eV/atom, formation "
            f"energy below {rules.held_formation_energy_ev_per_atom:g} eV/atom, or on arrival below "
            f"{rules.held_on_arrival_ev_per_atom:g} eV/atom from the hull (not where an element is part of the hull "
            "beneath, unless the release is full); where the season has auditors, a formation energy that differs from "
            f"an auditor's by more than {rules.held_auditor_difference_ev_per_atom:g} eV/atom, corrections aside",
        ),
    ]


def _points(rules: Rules) -> Rows:
    worth = rules.points
    return [
        ("Unique and valid", f"{worth.unique:g}, at most {worth.unique_per_formula} times a formula"),
        ("Predicted metastable", f"{worth.metastable:g}, once a formula"),
        ("Predicted stable", f"{worth.stable:g}, provisional until the round closes"),
        ("First of its chemical system", f"{worth.first_of_system:g} more"),
    ]


def _tolerances(limits: Tolerances) -> str:
    return f"StructureMatcher({limits.ltol:g}, {limits.stol:g}, {limits.angle_tol:g}°)"
