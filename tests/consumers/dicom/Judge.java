import com.pixelmed.validate.DicomSRValidator;

/** Judges several reports in one run: PixelMed's own program takes one, and compiles its style sheet each time. */
public class Judge {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("Report " + path);
            System.out.println(validator.validate(path));
        }
    }
}
