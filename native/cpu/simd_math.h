// exp, tanh and the two GELUs on vectors, in f32, from the operations of a simd_*.h included before. Errors were measured
// against double precision (tests/native/activation_test.cpp).
#pragma once

namespace vn::cpu {
namespace {

// e^x, within 2 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, then the minimax polynomial of the Cephes library (S. Moshier)
// for e^r. -infinity gives exactly 0, NaN stays NaN.
inline Vec vexp(Vec x) {
  x = vmax(vset(-105.0f), vmin(vset(90.0f), x));  // constants first: a NaN comes through
  const Vec n = vround(vmul(x, vset(1.44269504f)));
  Vec r = vfma(n, vset(-0.693359375f), x);  // ln 2 in two parts; the first product is exact
  r = vfma(n, vset(2.12194440e-4f), r);
  Vec p = vset(1.9875691500e-4f);
  p = vfma(p, r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  p = vfma(p, r, vset(5.0000001201e-1f));
  p = vadd(vfma(p, vmul(r, r), r), vset(1.0f));
  return vscale2(p, n);
}

// tanh x: an odd polynomial (Cephes) near zero, else (1 - e) / (1 + e) with e = e^(-2|x|).
inline Vec vtanh(Vec x) {
  const Vec magnitude = vabs(x);
  const Vec z = vmul(x, x);
  Vec p = vset(-5.70498872745e-3f);
  p = vfma(p, z, vset(2.06390887954e-2f));
  p = vfma(p, z, vset(-5.37397155531e-2f));
  p = vfma(p, z, vset(1.33314422036e-1f));
  p = vfma(p, z, vset(-3.33332819422e-1f));
  const Vec near = vfma(vmul(p, z), x, x);
  const Vec e = vexp(vmul(magnitude, vset(-2.0f)));
  const Vec one = vset(1.0f);
  const Vec far = vcopysign(vdiv(vsub(one, e), vadd(one, e)), x);
  return vselect_less(magnitude, vset(0.625f), near, far);
}

// x / (1 + e^-x)
inline Vec vsilu(Vec x) { return vdiv(x, vadd(vset(1.0f), vexp(vsub(vset(0.0f), x)))); }

// x (1 + tanh u) / 2 = x / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
inline Vec vgelu_tanh(Vec x) {
  const Vec cubic = vfma(vmul(vmul(x, x), vset(0.044715f)), x, x);
  return vdiv(x, vadd(vset(1.0f), vexp(vmul(cubic, vset(-1.5957691216f)))));
}

// P of vgelu_erf, highest power first: Chebyshev fit over z in [0, 11], relative error 5e-8.
constexpr int kErfcTerms = 10;
constexpr float kErfcFit[kErfcTerms] = {0.0162295385f, -0.142972335f, 0.470992984f, -0.720036672f, 0.45756913f,
                                        -0.114863879f, 0.230237698f,  0.237853759f, 0.282927772f,  0.282061996f};

// x Phi(x) with Phi(-|x|) = erfc(z) / 2, z = |x| / sqrt 2, and erfc(z) = e^(-z^2) t P(t), t = 1 / (1 + z / 2).
// Beyond z = 11, e^(-z^2) is 0 in f32.
inline Vec vgelu_erf(Vec x) {
  const Vec z = vmul(vabs(x), vset(0.70710678f));
  const Vec one = vset(1.0f);
  const Vec t = vdiv(one, vfma(z, vset(0.5f), one));
  Vec p = vset(kErfcFit[0]);
  for (int i = 1; i < kErfcTerms; ++i) p = vfma(p, t, vset(kErfcFit[i]));
  const Vec half = vmul(vset(0.5f), vmul(vmul(p, t), vexp(vsub(vset(0.0f), vmul(z, z)))));
  return vmul(x, vselect_less(x, vset(0.0f), half, vsub(one, half)));
}

}  // namespace
}  // namespace vn::cpu
