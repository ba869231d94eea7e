package org.smalti;

import org.tensorflow.lite.Delegate;

/**
 * Runs the operators of smalti in an Interpreter of LiteRT or TensorFlow Lite.
 *
 * <p>Close it after every interpreter that uses it.
 */
public final class SmaltiDelegate implements Delegate {
  static {
    System.loadLibrary("smalti_jni"); // brings libsmalti.so with it
  }

  private long handle;

  public SmaltiDelegate() {
    handle = create();
    if (handle == 0) {
      throw new OutOfMemoryError("no memory for smalti's delegate");
    }
  }

  /** What Interpreter asks for; after `close` there is nothing to give. */
  @Override
  public synchronized long getNativeHandle() {
    if (handle == 0) {
      throw new IllegalStateException("this SmaltiDelegate is closed; create another");
    }
    return handle;
  }

  @Override
  public synchronized void close() {
    destroy(handle);
    handle = 0;
  }

  /** The version of libsmalti.so. */
  public static native String version();

  private static native long create();

  private static native void destroy(long handle);
}
