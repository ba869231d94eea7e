package org.tensorflow.lite;

/** What our delegate needs of TensorFlow Lite's interface, whose package is Android's only. */
public interface Delegate extends AutoCloseable {
  long getNativeHandle();

  @Override
  default void close() {}
}
