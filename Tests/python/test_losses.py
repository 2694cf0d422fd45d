"""Level 1 through Python: numbers, arrays without a copy, refusals."""

import array
import unittest

import libdpo
import numpy
from support import golden

C = [-12.50, -40.10, -3.20, -101.30, -22.75, -21.00]
R = [-14.25, -35.60, -9.90, -120.80, -22.75, -18.00]
CR = [-13.00, -38.70, -7.40, -99.90, -22.75, -15.00]
RR = [-13.75, -36.90, -2.10, -121.40, -22.75, -23.50]
NW, NL = [5, 17, 2, 48, 9, 20], [6, 12, 4, 51, 9, 7]


class Losses(unittest.TestCase):
    def test_lists_arrays_and_numpy_give_the_golden_loss(self) -> None:
        for make in (list, lambda x: array.array("d", x), numpy.array, lambda x: numpy.array(x + x)[::2][:0]):
            columns = [make(column) for column in (C, R, CR, RR)]
            if len(columns[0]) == 0:
                self.assertRaises(ValueError, libdpo.dpo_loss, *columns)
                continue
            result = libdpo.dpo_loss(*columns)
            self.assertAlmostEqual(result.loss, 0.7768796493, 9)
            self.assertAlmostEqual(result.gradient_chosen[0], -0.007917013542, 11)
            self.assertAlmostEqual(float(numpy.mean(result.reward_chosen)), -0.06833333333, 10)

    def test_every_loss_by_name(self) -> None:
        golden = {
            "hinge": 1.086666667, "ipo": 23.08215154, "nca_pair": 1.427022091, "bco_pair": 1.443936804,
            "sppo_hard": 80.53333333, "apo_zero": 1.01382824, "apo_down": 0.9972287163, "discopop": 0.8486249926,
            "sft": 1.988613861, "sigmoid_norm": 0.6725016384,
        }
        for name, loss in golden.items():
            found = libdpo.dpo_loss(C, R, CR, RR, loss_type=name, chosen_tokens=NW, rejected_tokens=NL).loss
            self.assertAlmostEqual(found, loss, 7, name)
        for name, smoothing, loss in (
            ("exo_pair", 0.001, 2.908173382), ("robust", 0.1, 0.7835463159), ("aot", 0.1, 0.7166279173),
            ("aot_unpaired", 0.1, 0.7162914202),
        ):
            self.assertAlmostEqual(libdpo.dpo_loss(C, R, CR, RR, loss_type=name, label_smoothing=smoothing).loss, loss, 8)
        mixed = libdpo.dpo_loss(
            C, R, CR, RR, loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0], chosen_tokens=NW,
            rejected_tokens=NL,
        )
        self.assertAlmostEqual(mixed.loss, 2.898904942, 8)
        self.assertEqual(len(libdpo.LOSS_TYPES), 16)

    def test_numpy_input_is_read_in_place_and_other_types_are_converted(self) -> None:
        from libdpo import _arrays
        from ctypes import c_double, c_int32

        values = numpy.array(C)
        self.assertIs(_arrays.Input(values, c_double, "x").owner, values)
        buffer = array.array("d", C)
        self.assertIs(_arrays.Input(buffer, c_double, "x").owner, buffer)
        loss = libdpo.dpo_loss(C, R, CR, RR).loss
        single = [numpy.array(column, numpy.float32) for column in (C, R, CR, RR)]
        self.assertAlmostEqual(libdpo.dpo_loss(*single).loss, loss, 6)
        strided = [numpy.array([column, column]).T[:, 0] for column in (C, R, CR, RR)]
        self.assertEqual(libdpo.dpo_loss(*strided).loss, loss)
        self.assertRaises(TypeError, libdpo.dpo_loss, numpy.array(["a"]), R, CR, RR)
        self.assertRaises(ValueError, _arrays.Input, numpy.array([2**40]), c_int32, "x")
        self.assertRaises(ValueError, _arrays.Input, numpy.zeros((2, 2)), c_double, "x")

    def test_gradient_agrees_with_differences(self) -> None:
        step = 1e-6
        # Away from hinge's kink and from ties, where the sorting losses have one.
        chosen = [value + 0.037 * index + 0.011 for index, value in enumerate(C)]
        for name in libdpo.LOSS_TYPES:
            options = {"loss_type": name, "chosen_tokens": NW, "rejected_tokens": NL, "label_smoothing": 0.1}
            gradient = libdpo.dpo_loss(chosen, R, CR, RR, **options).gradient_chosen
            for pair in (0, 3, 5):
                moved = [
                    [value + sign * step * (index == pair) for index, value in enumerate(chosen)] for sign in (1, -1)
                ]
                difference = [libdpo.dpo_loss(column, R, CR, RR, **options).loss for column in moved]
                self.assertAlmostEqual(gradient[pair], (difference[0] - difference[1]) / (2 * step), 6, name)

    def test_wrong_arguments_raise_what_python_raises(self) -> None:
        for options in (
            {"beta": 0}, {"beta": float("nan")}, {"loss_type": "dpo"}, {"loss_type": []}, {"loss_type": "exo_pair"},
            {"f_divergence_type": "kl"}, {"loss_weights": [1, 2]}, {"chosen_tokens": [1]}, {"loss_type": "ipo"},
            {"loss_type": "robust", "label_smoothing": 0.5}, {"weights": [-1] * 6},
        ):
            with self.assertRaises(ValueError, msg=options) as caught:
                libdpo.dpo_loss(C, R, CR, RR, **options)
            self.assertIsInstance(caught.exception, libdpo.DPOError)
        self.assertRaises(ValueError, libdpo.dpo_loss, C, R[:3], CR, RR)
        self.assertRaises(ValueError, libdpo.dpo_loss, C, R)
        self.assertRaises(TypeError, libdpo.dpo_loss, C, R, CR, RR, betta=0.1)
        self.assertRaises(TypeError, libdpo.dpo_loss, "text", R, CR, RR)
        self.assertRaises(ArithmeticError, libdpo.dpo_loss, [float("nan")], [0.0], [0.0], [0.0])
        libdpo.dpo_loss(C, R, reference_free=True)


class ClosedForm(unittest.TestCase):
    """Beside NumPy, from definitions (golden/closed_form.json) and by hand."""

    def test_optima_and_divergences_are_numpys(self) -> None:
        cases = golden("closed_form.json")["cases"]
        self.assertEqual(len(cases), 32)
        for case in cases:
            kind = {key: case[key] for key in ("f_divergence_type", "f_alpha_divergence_coef")}
            reference, rewards = numpy.log(case["reference"]), numpy.array(case["rewards"])
            found = libdpo.optimal_policy(reference, rewards, beta=case["beta"], **kind)
            numpy.testing.assert_allclose(numpy.exp(found.logps), case["policy"], atol=1e-12)
            self.assertAlmostEqual(found.normalizer, case["normalizer"], 11)
            found_divergence = libdpo.divergence(numpy.log(case["other"]), reference, **kind)
            self.assertAlmostEqual(found_divergence, case["divergence"], 11)
            if min(case["policy"]) > 0:
                back = libdpo.implicit_rewards(found.logps, reference, beta=case["beta"], **kind)
                numpy.testing.assert_allclose(back + found.normalizer, rewards, atol=1e-8)

    def test_bradley_terry_and_refusals(self) -> None:
        first, second = numpy.array([0.0, 3.0, -800.0]), numpy.array([0.0, 1.0, 800.0])
        with numpy.errstate(over="ignore"):
            expected = 1 / (1 + numpy.exp(second - first))
        numpy.testing.assert_allclose(libdpo.bradley_terry(first, second), expected)
        half = numpy.log([0.5, 0.5])
        self.assertRaises(ValueError, libdpo.optimal_policy, half, [1.0])
        self.assertRaises(ValueError, libdpo.optimal_policy, [0.0, 0.0], [1.0, 2.0])
        self.assertRaises(ValueError, libdpo.optimal_policy, half, [1.0, 2.0], f_divergence_type="kl")
        self.assertRaises(ValueError, libdpo.optimal_policy, half, [1.0, 2.0], beta=0)
        self.assertRaises(ArithmeticError, libdpo.implicit_rewards, half, [0.0, -numpy.inf])
        self.assertEqual(libdpo.divergence(half, [0.0, -numpy.inf]), numpy.inf)


if __name__ == "__main__":
    unittest.main()
