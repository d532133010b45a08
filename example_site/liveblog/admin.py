from django.contrib import admin

from example_site.liveblog.models import Post

admin.site.site_title = admin.site.site_header = "channelcelery example"
admin.site.index_title = "Live blog and users"


@admin.register(Post)
class PostAdmin(admin.ModelAdmin):
    list_display = ["title", "published", "created", "changed"]
    list_filter = ["published", "created"]
    search_fields = ["title", "body"]

    def view_on_site(self, post: Post) -> str:
        return "/liveblog/"
