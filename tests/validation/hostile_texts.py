"""Hostile and damaged files of one structure or several: CIF, extended XYZ, JSON, and what is none of these."""

from __future__ import annotations

import json
import pickle

from tests.validation.hostile import Kind
from tests.validation.validation_crystals import cif_text, prototypes
from validation.members import UploadLimits
from validation.rules import Reason

GOOD = "ClNa"
MOST = 900_000  # of bytes, below the limit of one structure's text

_FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4"\nNa 0 0 0\nCl 2 2 2\n'
_OCCUPIED = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
_LABELS = ("label", "fract_x", "fract_y", "fract_z")
_OPERATIONS = "loop_\n_symmetry_equiv_pos_as_xyz\n"


def _text(name: str, text: str | bytes, verdict: Reason | str, words: str = "", file: str = "bad.cif") -> Kind:
    data = text.encode() if isinstance(text, str) else text
    return Kind(name=name, make=lambda: data, verdicts=(verdict,), words=words, file=file)


def _large(name: str, make: object, verdict: Reason | str, words: str = "", file: str = "bad.cif") -> Kind:
    return Kind(name=name, make=lambda: make().encode(), verdicts=(verdict,), words=words, file=file)


def _first_site(x: str) -> str:
    return cif_text(f"Na1 Na {x} 0 0\nCl1 Cl 0.5 0.5 0.5")


def _document(**changes: object) -> str:
    return json.dumps({**prototypes()["rocksalt"].as_dict(), **changes})


def _first_json_site(**changes: object) -> str:
    first, *others = prototypes()["rocksalt"].as_dict()["sites"]
    return _document(sites=[{**first, **changes}, *others])


def _kinds_no_cif() -> list[Kind]:
    page = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1>\ndata_\n</body></html>"
    return [
        _text("white space", " \n\t\n" * 50, Reason.NOT_CIF, "the file is empty"),
        _text("page", page, Reason.NOT_CIF, "looks like HTML"),
        _text("page with a declaration", "<?xml version='1.0'?><html/>", Reason.NOT_CIF, "looks like HTML"),
        _text("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\n", Reason.NOT_CIF, "no line that begins"),
        _text("executable", b"\x7fELF\x02\x01\x01" + bytes(100) + b"\ndata_", Reason.NOT_CIF, "NUL bytes"),
        _text("pickle", pickle.dumps(print), Reason.NOT_CIF, "NUL bytes"),
        _text("image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Reason.NOT_CIF, "NUL bytes"),
        _text("UTF-16", cif_text().encode("utf-16"), Reason.NOT_CIF, "NUL bytes"),
        _text("NUL within", cif_text().replace("test", "te\0st"), Reason.NOT_CIF, "NUL bytes"),
        _text("POSCAR", "NaCl\n1.0\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n", Reason.NOT_CIF, "no line that"),
        _text("PDB", "CRYST1    4.000    4.000    4.000\nATOM      1  NA\n", Reason.NOT_CIF, "no line that begins"),
        _text("XYZ without a lattice", "1\nwater\nNa 0 0 0\n", Reason.BAD_CELL, "has no Lattice"),
    ]


def _kinds_of_syntax() -> list[Kind]:
    good = cif_text()
    twice = cif_text(extra="_cell_length_a 9")
    ragged = cif_text("Na1 Na 0 0 0\nCl1 Cl 0.5 0.5")
    return [
        _text("byte order mark", "\ufeff" + good, GOOD),
        _text("no UTF-8", b"# caf\xe9\n" + good.encode(), GOOD),
        _text("line ends of old", good.replace("\n", "\r"), GOOD),
        _text("duplicate tags", twice, Reason.UNREADABLE, "duplicate tag"),
        _text("ragged loop", ragged, Reason.UNREADABLE, "line"),
        _text("loop without values", good.partition("Na1")[0], Reason.NO_ATOMS, "lists no sites"),
        _text("loop without tags", good + "loop_\n1 2 3\n", Reason.UNREADABLE, "line"),
        _text("cut short", good[: good.index("Cl1") + 6], Reason.UNREADABLE, "line"),
        _text("frame in a frame", "data_a\nsave_b\nsave_c\n_x 1\nsave_\nsave_\n" + good[10:], GOOD),
        _text(
            "sites in a frame", good.replace("_cell_length_a", "save_b\n_cell_length_a") + "save_\n", Reason.BAD_CELL
        ),
        _text("frame without end", good + "save_b\n_x 1\n", Reason.UNREADABLE, "line"),
        _text("field without end", cif_text(extra="_title\n;x\n"), Reason.UNREADABLE, "line"),
        _text("only a header", "data_\n", Reason.BAD_CELL, "_cell_length_a has no value"),
        _text("no cell", good.replace("_cell_", "_sell_"), Reason.BAD_CELL, "the cell is incomplete"),
        _text("no sites", good.partition("loop_")[0], Reason.NO_ATOMS, "lists no sites"),
        _text("control characters", cif_text(cell=("\x1b[31m", 4, 4, 90, 90, 90)), Reason.UNREADABLE, "line"),
        _large("blank lines", lambda: "\n" * MOST + good, GOOD),
        _large("long line", lambda: good + "# " + "x" * MOST, GOOD),
        _large("long value", lambda: cif_text(extra="_title " + "x" * MOST), GOOD),
        _large("long name", lambda: good.replace("data_test", "data_" + "x" * MOST), GOOD),
        _large("quotes", lambda: good + "_x '" + "'" * MOST, GOOD),
        _large("rows of quotes", lambda: good + "' " * (MOST // 2), Reason.TOO_MANY_ATOMS, "sites are listed"),
        _large("quote without end", lambda: good + "_x '" + "y" * MOST, Reason.UNREADABLE, "line"),
        _large("fields without end", lambda: good + "\n;\n" * (MOST // 3 | 1), Reason.UNREADABLE, "line"),
        _large("tags", lambda: good + "".join(f"_x{n} 1\n" for n in range(60_000)), GOOD),
        _large("columns", lambda: good + "loop_\n" + "".join(f"_x{n}\n" for n in range(60_000)), GOOD),
        _large("loops", lambda: good + "".join(f"loop_\n_y{n}\n1\n" for n in range(40_000)), GOOD),
        _large("frames", lambda: good + "".join(f"save_{n}\nsave_\n" for n in range(40_000)), GOOD),
        _large("too long", lambda: good + "#" * 1_000_000, Reason.TOO_LARGE, "at most 1,000,000"),
    ]


def _kinds_of_cells() -> list[Kind]:
    def cell(name: str, *numbers: object, words: str, reason: Reason = Reason.BAD_CELL) -> Kind:
        return _text(name, cif_text(cell=numbers), reason, words)

    return [
        cell("negative length", -4, 4, 4, 90, 90, 90, words="_cell_length_a is -4; it must be a number from 0.5"),
        cell("zero length", 4, 0, 4, 90, 90, 90, words="_cell_length_b is 0;"),
        cell("length that is no number", 4, 4, "nan", 90, 90, 90, words="_cell_length_c is nan"),
        cell("endless length", "inf", 4, 4, 90, 90, 90, words="_cell_length_a is inf"),
        cell("huge length", 1e308, 4, 4, 90, 90, 90, words="_cell_length_a is 1e+308"),
        cell("length with a comma", "5,64", 4, 4, 90, 90, 90, words="_cell_length_a is 5,64"),
        cell("length in quotes of text", "'four'", 4, 4, 90, 90, 90, words="four"),
        cell("angles that close no cell", 4, 4, 4, 60, 60, 170, words="no cell with a volume has the angles"),
        cell("flat angles", 4, 4, 4, 120, 120, 120, words="no cell with a volume has the angles 120, 120, 120"),
        cell("angle of 180", 4, 4, 4, 90, 90, 180, words="it must be a number from 1 to 179 degrees"),
        cell("flat cell", 3, 3, 0.6, 90, 90, 90, reason=Reason.VOLUME, words="an atom; at least 4"),
        cell("needle", 3, 3, 900, 90, 90, 90, reason=Reason.ASPECT_RATIO, words="at most 20 is allowed"),
        cell("empty space", 900, 900, 900, 90, 90, 90, reason=Reason.NOT_BULK, words="bonds of up to 5"),
    ]


def _kinds_of_sites() -> list[Kind]:
    def coordinate(name: str, x: str) -> Kind:
        return _text(name, _first_site(x), Reason.BAD_COORDINATES, f"site 1 (Na) has x = {x};")

    def label(
        name: str, text: str, verdict: Reason | str = Reason.UNKNOWN_ELEMENT, words: str = "which names no element"
    ) -> Kind:
        sites = f"{text} 0 0 0\nCl1 0.5 0.5 0.5"
        return _text(name, cif_text(sites, columns=_LABELS), verdict, words)

    def occupied(name: str, value: str, words: str) -> Kind:
        sites = f"Na1 Na 0 0 0 {value}\nCl1 Cl 0.5 0.5 0.5 1"
        return _text(name, cif_text(sites, columns=_OCCUPIED), Reason.DISORDERED, words)

    shared = "Na1 Na 0 0 0\nK1 K 0 0 0.001\nCl1 Cl 0.5 0.5 0.5"
    no_z = cif_text("Na1 Na 0 0\nCl1 Cl .5 .5", columns=("label", "type_symbol", "fract_x", "fract_y"))
    return [
        coordinate("coordinate nan", "nan"),
        coordinate("coordinate inf", "-inf"),
        coordinate("coordinate 1e308", "1e308"),
        coordinate("coordinate beyond numbers", "1e999"),
        coordinate("coordinate in hexadecimal", "0x1p3"),
        coordinate("coordinate with a comma", "0,5"),
        coordinate("coordinate unknown", "?"),
        coordinate("coordinate with an underscore", "1_0"),
        _text("coordinate of two lines", _first_site("\n;0\n1\n;\n"), Reason.BAD_COORDINATES, "site 1 (Na) has x"),
        _text("column missing", no_z, Reason.BAD_COORDINATES, "the sites have no _atom_site_fract_z"),
        _text("column twice", cif_text().replace("fract_z", "fract_y"), Reason.UNREADABLE, "duplicate tag"),
        occupied("half an atom", "0.5", "site 1 (Na) has occupancy 0.5"),
        occupied("two atoms in one", "2", "site 1 (Na) has occupancy 2"),
        occupied("occupancy nan", "nan", "site 1 (Na) has occupancy nan"),
        occupied("negative occupancy", "-1", "site 1 (Na) has occupancy -1"),
        _text("two on one place", cif_text(shared), Reason.DISORDERED, "share one place"),
        label("dummy X", "X"),
        label("dummy Xx", "Xx1"),
        label("number first", "1Na"),
        label("water", "Wat1"),
        label("tritium", "T1"),
        label("unknown label", "?", words="site 1 has neither a type symbol nor a label"),
        label("deuterium", "D1", "ClH", ""),
        label("oxidation state", "Na1+", GOOD, ""),
        label("noble gas", "He1", Reason.ELEMENT_NOT_ALLOWED, "site 1 (He) is an element that"),
        _large("50,000 atoms", _many_atoms, Reason.TOO_MANY_ATOMS, "50,000 sites are listed; at most 400 are read"),
    ]


def _many_atoms() -> str:
    return cif_text("\n".join(f"C C .{n:05} 0 0" for n in range(50_000)), cell=(90, 90, 90, 90, 90, 90))


def _kinds_of_symmetry() -> list[Kind]:
    def stated(name: str, extra: str, words: str, **parts: object) -> Kind:
        return _text(name, cif_text(extra=extra, **parts), Reason.BAD_SYMMETRY, words)

    cubic = "_symmetry_space_group_name_H-M 'F m -3 m'"
    return [
        _text(
            "number alone", cif_text(extra="_symmetry_Int_Tables_number 225", cell=(5.64, 5.64, 5.64, 90, 90, 90)), GOOD
        ),
        stated("number 231", "_symmetry_Int_Tables_number 231", "the numbers go from 1 to 230"),
        stated("number of many digits", "_symmetry_Int_Tables_number " + "9" * 5000, "the numbers go from 1 to 230"),
        stated("unknown name", "_symmetry_space_group_name_H-M 'Q 7'", "'Q 7' is not known"),
        stated("operations against the name", f"{cubic}\n{_OPERATIONS}x,y,z", "1 symmetry operation, "),
        stated("name against the number", f"{cubic}\n_symmetry_Int_Tables_number 62", "but also P n m a"),
        stated("group of another cell", cubic, "the cell does not have the symmetry", cell=(4, 5, 6, 90, 90, 90)),
        stated("operation of code", f"{_OPERATIONS}'__import__(1)'", "symmetry operation 1"),
        stated("operation that shears", f"{_OPERATIONS}x,y,z\n2x,y,z", "symmetry operation 2"),
        stated("operations without end", f"{_OPERATIONS}x,y,z\nx+y,y,z", "their products"),
        stated("operations left out", f"{_OPERATIONS}x,y,z\ny,z,x", "their products make 3"),
        stated(
            "as many operations as there should be",
            f"{_OPERATIONS}x,y,z\nx+1/2,y+1/2,z+1/2\n-x,-y,-z\n-x+1/3,-y,-z",
            "does not go with the others",
        ),
        Kind(
            name="20,000 operations",
            make=lambda: cif_text(extra=_OPERATIONS + "x,y,z\n" * 20_000).encode(),
            verdicts=(Reason.BAD_SYMMETRY,),
            words="lists 20000 symmetry operations; no space group has more than 192",
        ),
        _large("sites that fill the cell", _full_cell, Reason.TOO_MANY_ATOMS, "sites fill the cell"),
    ]


def _full_cell() -> str:
    sites = "\n".join(f"C{n} C 0.{n:02}3 0.{n:02}7 0.1{n:02}" for n in range(10, 90))
    return cif_text(sites, extra="_symmetry_Int_Tables_number 225", cell=(90, 90, 90, 90, 90, 90))


def _kinds_of_frames() -> list[Kind]:
    def frame(name: str, text: str, reason: Reason | str, words: str = "") -> Kind:
        return _text(name, text, reason, words, file="bad.xyz")

    return [
        frame("more atoms than lines", "3" + _FRAME[1:], Reason.UNREADABLE, "announces 3 atoms, and 2 lines"),
        frame("a billion atoms", "999999999" + _FRAME[1:], Reason.TOO_MANY_ATOMS, "999,999,999 sites are listed"),
        frame("number of 5,000 digits", "9" * 5000 + _FRAME[1:], Reason.UNREADABLE, "begins with its number of atoms"),
        frame("negative count", "-2" + _FRAME[1:], Reason.UNREADABLE, "'-2' where a frame begins"),
        frame("lattice of 8 numbers", _FRAME.replace('0 4"', '4"'), Reason.BAD_CELL, "it must be 9 numbers"),
        frame("flat lattice", _FRAME.replace("0 4 0 0", "4 0 0 0"), Reason.BAD_CELL, "the cell is flat"),
        frame("lattice 1e308", _FRAME.replace('0 4"', '0 1e308"'), Reason.BAD_CELL, "is 1e+308 Å long"),
        frame("lattice without end", _FRAME.replace('4"', "4"), Reason.UNREADABLE, "is not closed"),
        frame("NUL in a position", _FRAME.replace("2 2 2", "2 2 \0"), Reason.BAD_COORDINATES, "the position 2 2 ?"),
        frame(
            "NUL in a key", _FRAME.replace("Lattice", "a\0b={ Lattice"), Reason.UNREADABLE, "after a?b= is not closed"
        ),
        frame("columns of lies", _FRAME.replace("\nNa", " Properties=species:S:1:pos:R:999\nNa"), Reason.UNREADABLE),
        Kind(
            name="fewer atoms than lines",
            make=lambda: ("1" + _FRAME[1:]).encode(),
            file="bad.xyz",
            verdicts=("Na", Reason.UNREADABLE),
            words="line 4 is 'Cl 2 2 2' where a frame begins",
        ),
        _large("keys", lambda: _FRAME.replace("\nNa", " " + "a=1 " * 200_000 + "\nNa"), GOOD, file="bad.xyz"),
        _large(
            "brackets",
            lambda: _FRAME.replace("\nNa", " " + "a={[" * 200_000 + "\nNa"),
            Reason.UNREADABLE,
            file="bad.xyz",
        ),
    ]


def _kinds_of_json() -> list[Kind]:
    def document(name: str, text: str, reason: Reason | str, words: str = "") -> Kind:
        return _text(name, text, reason, words, file="bad.json")

    lines = "\n".join([_document(), '{"lattice": }', _document()])
    half = [{"element": "Na", "occu": 0.5}]
    mixed = [*half, {"element": "K", "occu": 0.5}]
    return [
        document("lists of lists", "[" * MOST, Reason.UNREADABLE, "nested too deeply"),
        document("objects of objects", '{"a":' * 150_000, Reason.UNREADABLE, "nested too deeply"),
        document("keys of a million", _document(**{f"k{n}": n for n in range(50_000)}), GOOD),
        document("one key twice", '{"lattice": 1, "lattice": 2}', Reason.UNREADABLE, "'lattice' twice"),
        document(
            "code", '{"@module": "os", "@class": "system", "command": "id"}', Reason.UNREADABLE, "no pymatgen Str"
        ),
        document("number of 5,000 digits in JSON", '{"a": ' + "9" * 5000 + "}", Reason.UNREADABLE, "cannot be read"),
        document("string without end", _document()[:-30], Reason.UNREADABLE, "no valid JSON"),
        document("half an element", _first_json_site(species=half), Reason.DISORDERED, "has occupancy 0.5"),
        document("disorder", _first_json_site(species=mixed), Reason.DISORDERED, "site 1 has 2 species"),
        document("NaN", _first_json_site(abc=[0, 0, float("nan")]), Reason.BAD_COORDINATES, "fractional coordinates"),
        document("Infinity", _document(lattice={"matrix": [[float("inf")] * 3] * 3}), Reason.BAD_CELL, "9 numbers"),
        document("sites of text", _first_json_site(abc="000"), Reason.BAD_COORDINATES, "has no 'abc'"),
        document(
            "half a surrogate", _first_json_site(species=[{"element": "\ud800"}]), Reason.UNKNOWN_ELEMENT, "no elem"
        ),
        document("no structure", '{"a": [1, 2]}', Reason.UNREADABLE, "no lattice and no list of sites"),
        document("one bad line", lines, GOOD, "line 2 is no valid JSON"),
    ]


def _as_lines(kind: Kind) -> Kind:
    return Kind(
        name=kind.name,
        make=kind.make,
        file="bad.jsonl",
        verdicts=(GOOD, Reason.UNREADABLE, GOOD),
        words=kind.words,
    )


def text_kinds() -> list[Kind]:
    """Each is a file by itself, and may be a member of an archive."""
    kinds = [
        *_kinds_no_cif(),
        *_kinds_of_syntax(),
        *_kinds_of_cells(),
        *_kinds_of_sites(),
        *_kinds_of_symmetry(),
        *_kinds_of_frames(),
        *_kinds_of_json(),
    ]
    return [_as_lines(kind) if kind.name == "one bad line" else kind for kind in kinds]


def many_blocks(n_blocks: int) -> Kind:
    return Kind(
        name=f"{n_blocks:,} data blocks",
        make=lambda: b"data_x\n_cell_length_a 4\n" * n_blocks,
        refused="more than 10,000 structures",
        limits=UploadLimits(max_structures=10_000),
    )
