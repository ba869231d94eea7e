// Weights of cubic convolution (Keys 1981), with a = -0.75 as Torch and ONNX have it.
#pragma once

namespace smalti::SMALTI_LEVEL {

// Of four neighbours at -1, 0, 1 and 2, for a point at t in [0, 1); T: float or Floats. The
// polynomials are factored so that a point on a pixel takes that pixel's value to the last bit.
template <class T>
inline void cubic_weights(const T &t, T *weights) {
  constexpr float a = -0.75f;
  const T s = 1.0f - t;
  weights[0] = a * t * s * s;
  weights[1] = ((a + 2.0f) * t - (a + 3.0f)) * t * t + 1.0f;
  weights[2] = ((a + 2.0f) * s - (a + 3.0f)) * s * s + 1.0f;
  weights[3] = a * s * t * t;
}

}  // namespace smalti::SMALTI_LEVEL
