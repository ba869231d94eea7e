import org.smalti.SmaltiDelegate;

/** Creates delegates, closes them and says what it has seen. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) {
    try (SmaltiDelegate first = new SmaltiDelegate();
        SmaltiDelegate second = new SmaltiDelegate()) {
      boolean different = first.getNativeHandle() != second.getNativeHandle();
      System.out.println(SmaltiDelegate.version() + " different " + different);
    }
    SmaltiDelegate closed = new SmaltiDelegate();
    closed.close();
    closed.close();
    try {
      closed.getNativeHandle();
    } catch (IllegalStateException refused) {
      System.out.println(refused.getMessage());
    }
  }
}
